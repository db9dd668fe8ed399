//! System tests against third-party parts.
