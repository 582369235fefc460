// Package tests checks what ops are given: rules, dashboards and the runbook,
// by Prometheus's own tools, against a running pipeline. It is a module of its
// own, since the program needs none of these libraries.
package tests
