"""The page and the file that show a comparison."""
