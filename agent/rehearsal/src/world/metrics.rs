//! CloudWatch, as far as an agent tells it numbers (the Query protocol, 2010-08-01).

use super::wire::{ApiError, Form, Xml};

pub(super) const VERSION: &str = "2010-08-01";
pub(super) const NAMESPACE: &str = "http://monitoring.amazonaws.com/doc/2010-08-01/";

/// Answers one operation. What is told is taken, and kept by nobody.
pub(super) fn call(action: &str, form: &Form) -> Result<Xml, ApiError> {
    if action != "PutMetricData" {
        return Err(ApiError::sender(
            "InvalidAction",
            format!("The action {action} is not valid for this web service."),
        ));
    }
    for name in ["Namespace", "MetricData.member.1.MetricName", "MetricData.member.1.Value"] {
        if form.get(name).is_none_or(str::is_empty) {
            return Err(ApiError::sender("MissingParameter", format!("The parameter {name} is required.")));
        }
    }
    Ok(Xml::default())
}
