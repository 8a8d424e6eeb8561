"""Who may see the page, who may act, and how they prove who they are."""
