"""The verbs wired end to end; the only place that knows configuration."""
