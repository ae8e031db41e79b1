"""The mock's own controls, under `/_mock`."""
