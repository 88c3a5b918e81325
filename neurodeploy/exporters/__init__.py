"""From training frameworks to NIR files."""
