"""The parts of the Evidence page: one suspect, and everything that speaks for and against it."""
