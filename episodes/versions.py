"""Versions of what is stored; what has another one is made again. They stand here so that a run that finds nothing new
need not load what makes it."""

PRINTS = 1      # fingerprint.py
RUNS = 3        # comparing.py
EDGES = 1       # edge_notes.py
NETWORKS = 1    # what boundary networks are asked for, and what follows: network_evidence.py, other_edge_evidence.py
RECOGNISERS = 1      # what recognisers are asked, and what follows: curve_evidence.py, utils/checkpoint_encoder.py
SECOND = 1      # the second look, season_work.py
DECIDING = 10    # what comes of all these: themes.py, edges.py, candidates.py, joining.py
