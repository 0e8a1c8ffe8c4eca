"""An index at another place, or under another key, while it goes on answering."""
