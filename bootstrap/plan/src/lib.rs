//! Bootstrap requests, facts and steps, shared by payload and render.
