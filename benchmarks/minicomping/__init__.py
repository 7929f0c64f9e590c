"""A miniature DataComp: what training on the pairs that a filter keeps is worth."""
