"""Dialogues and their runners."""
