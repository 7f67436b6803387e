"""Ground floor: what every protocol is built of. No sockets, files, threads or clocks are opened here."""
