"""The command line: parse, call one function, display. It has no logic, and imports torch only when work starts."""
