"""What runs a service's code at a site. ``wasm`` runs WebAssembly guests inside the workers."""
