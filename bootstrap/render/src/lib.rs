//! Renders a bootstrap request into user data.
