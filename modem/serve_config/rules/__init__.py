"""What must hold between the keys of a Serve config file: one small function a rule.

A rule takes the document, or the document and one expert or deployment, and yields what is
wrong. It looks only at pieces that are valid by themselves. Each module ends with the table of
its rules. Facts about Ray Serve carry their source; they are those of Ray 2.60.
"""
