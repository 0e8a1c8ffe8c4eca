"""Collection parameters: declared once, checked, and what of them is in force."""
