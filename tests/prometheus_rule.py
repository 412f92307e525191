"""deploy/kubernetes/prometheus-operator/prometheusrule.yaml, made from alerts/monitor.rules.yml."""

import textwrap

HEAD = """\
# Made by `make goldens` from alerts/monitor.rules.yml.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: vllm-monitor
  labels:
    app.kubernetes.io/name: vllm-monitor
spec:
"""


def prometheus_rule(rules: str) -> str:
    """Put the groups of a rules file, as they stand there, into an object of the Prometheus operator."""
    return HEAD + textwrap.indent(rules[rules.index("groups:\n") :], "  ")
