//! The resident agent and its command line.
