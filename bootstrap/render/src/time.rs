//! Writes points in time for people.

/// `seconds` since 1970 as `YYYY-MM-DD`, in UTC.
pub(crate) fn calendar_date(seconds: u64) -> String {
    // Days counted from 1 March of year 0, so that the leap day stands last (Hinnant, "chrono-compatible
    // low-level date algorithms").
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::calendar_date;

    #[test]
    fn leap_days_and_year_ends_are_where_the_calendar_has_them() {
        for (seconds, date) in [
            (0, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (1_709_164_800, "2024-02-29"),
            (1_735_689_599, "2024-12-31"),
            (1_827_151_087, "2027-11-25"),
        ] {
            assert_eq!(calendar_date(seconds), date);
        }
    }
}
