"""What an operator sees: the log. Fields are data, never formatted into the text (A-33)."""
