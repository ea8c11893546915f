//! One small process for each submitted job: runs its entrypoint, keeps its output, writes down how it ended.
