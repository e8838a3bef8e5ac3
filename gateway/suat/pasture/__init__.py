"""From readings to what a herder does next.

snapshot.py reads the journal into the plain inputs of model.py; case.py derives what one paddock offers to the herds it
is judged for; rules.py says what holds, ranking.py how good it is, alerts.py what needs hands; status.py gathers all of
it into the object of `suat status --json`. Everything after snapshot.py is a pure function of its arguments.
"""
