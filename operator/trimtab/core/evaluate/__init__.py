"""What the objects of a cluster result in: verdicts and rendered content, as pure functions of these objects."""
