//! The installer that travels inside user data.
