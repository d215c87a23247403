"""The assets, checks and sensor of the portal, which adds the two sum parts of a window."""
