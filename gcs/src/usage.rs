//! Usage as the HTTP API shows it: one row for each submission and user.

use iosdk_gcs_core::{UsageLine, Work};
use iosdk_http::{UsageQuery, UsageRow};
use std::collections::BTreeMap;

/// `owner` is who runs what nobody submitted.
pub(crate) fn rows(lines: Vec<UsageLine>, owner: &str, query: &UsageQuery) -> Vec<UsageRow> {
    let mut rows = BTreeMap::<(String, String), UsageRow>::new();
    for UsageLine { account, submission_id, sum } in lines {
        // No submission has such a name.
        let submission_id = submission_id.unwrap_or_else(|| match account.work {
            Work::Submission(number) => format!("deleted:{number}"),
            Work::Driver(job) => format!("driver:{job}"),
        });
        let user = if account.user.is_empty() { owner.to_owned() } else { account.user };
        let wanted = query.user.as_ref().is_none_or(|asked| *asked == user)
            && query.job.as_ref().is_none_or(|asked| *asked == submission_id);
        if !wanted {
            continue;
        }
        let row = rows.entry((submission_id.clone(), user.clone())).or_insert_with(|| UsageRow {
            user,
            submission_id,
            cpu_amount_ns: 0,
            gpu_amount_ns: 0,
            memory_amount_ns: 0,
            cpu_used_ns: 0,
        });
        let held = |name: &str| sum.held.get(name).copied().unwrap_or(0);
        row.cpu_amount_ns = row.cpu_amount_ns.saturating_add(held("CPU"));
        row.gpu_amount_ns = row.gpu_amount_ns.saturating_add(held("GPU"));
        row.memory_amount_ns = row.memory_amount_ns.saturating_add(held("memory"));
        row.cpu_used_ns = row.cpu_used_ns.saturating_add(sum.used_cpu_ns);
    }
    rows.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use iosdk_gcs_core::{Account, Sum};
    use iosdk_types::JobId;

    fn line(tenant: &str, user: &str, work: Work, submission: Option<&str>, cpu: u128) -> UsageLine {
        let account = Account { tenant: tenant.to_owned(), user: user.to_owned(), work };
        let sum = Sum { held: [("CPU".to_owned(), cpu)].into(), used_cpu_ns: 1 };
        UsageLine { account, submission_id: submission.map(str::to_owned), sum }
    }

    #[test]
    fn lines_of_one_submission_and_user_are_one_row() {
        let lines = vec![
            line("a", "ann", Work::Submission(1), Some("train"), 3),
            line("b", "ann", Work::Submission(1), Some("train"), 4),
            line("a", "bob", Work::Submission(2), None, 5),
            line("a", "", Work::Driver(JobId::from_index(7)), None, 6),
        ];
        let all = rows(lines.clone(), "me", &UsageQuery::default());
        let shown: Vec<_> =
            all.iter().map(|row| (row.submission_id.as_str(), row.user.as_str(), row.cpu_amount_ns)).collect();
        assert_eq!(shown, [("deleted:2", "bob", 5), ("driver:00000007", "me", 6), ("train", "ann", 7)]);
        assert_eq!(all[2].cpu_used_ns, 2);
        let mine = rows(lines.clone(), "me", &UsageQuery { user: Some("me".into()), job: None });
        assert_eq!(mine, all[1..2]);
        let train = rows(lines, "me", &UsageQuery { user: None, job: Some("train".into()) });
        assert_eq!(train, all[2..]);
    }
}
