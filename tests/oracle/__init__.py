"""The slow and obvious form of the mathematics, in Python integers and one packet at a time.

It shares no code with the package: constants are written again, polynomials are interpolated by Lagrange's formula, and
curve points are added one by one.
"""
