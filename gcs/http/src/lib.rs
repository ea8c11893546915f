//! The head's HTTP: the job API that Ray's client speaks, health and metrics.
