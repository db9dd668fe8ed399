//! Renders a bootstrap request into user data.

pub mod openpgp;
mod time;
