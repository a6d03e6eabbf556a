"""What people look at: classes of a run, SKUs by page, daily demand, the catalogue and its windows. Only read."""
