"""The command line: parse, call one function, show. No logic lives here, and no torch is loaded before work starts."""
