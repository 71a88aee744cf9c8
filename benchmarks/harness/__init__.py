"""What all questions share: trials in fresh interpreters, turns, tables, plots, the budget."""
