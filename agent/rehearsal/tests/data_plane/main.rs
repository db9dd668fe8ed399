//! The data plane as a whole: what is lost, what is not, and what each side can see of it.

mod draining;
mod load;
mod losing;
mod real;
mod support;
