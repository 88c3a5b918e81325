"""Mixed precision: search the width of each projection's weights at which a stated accuracy or agreement is kept."""

from neurodeploy.search.bits import METHODS, SearchResult, run_search, search_bits
from neurodeploy.search.budget import Budget, parse_budget

__all__ = ["METHODS", "Budget", "SearchResult", "parse_budget", "run_search", "search_bits"]
