//! The stand-in world that rehearsals play in.
