"""What Grafana shows: one module a dashboard, beside what they share (the look, the queries)."""
