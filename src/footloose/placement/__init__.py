"""Where a service should have copies. One algorithm per file behind :class:`footloose.placement.interface.Placer`."""
