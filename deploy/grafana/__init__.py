"""What Grafana shows of Carbonflow: dashboards as code, and what tells Grafana where they are."""
