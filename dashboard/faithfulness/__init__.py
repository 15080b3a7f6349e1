"""The parts of the page Faithfulness."""
