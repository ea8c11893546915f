//! Submitted jobs that wait, by what they ask for: jobs that ask for the same fit or do not fit together, so a decision looks
//! at shapes and not at jobs.

use iosdk_types::{Map, ResourceSet, Set};

#[derive(Clone, Debug, Default)]
pub(crate) struct Queue {
    shapes: Map<ResourceSet, Set<u64>>,
    /// The shape of each job that is the oldest of its shape.
    oldest: Map<u64, ResourceSet>,
    /// The same, for shapes that no node of today's cluster could hold: not looked at before a node joins.
    aside: Map<u64, ResourceSet>,
    waiting: usize,
}

/// Two queues are equal when the same jobs wait: what stands aside is found out again.
impl PartialEq for Queue {
    fn eq(&self, other: &Self) -> bool {
        (&self.shapes, self.waiting) == (&other.shapes, other.waiting)
    }
}

impl Queue {
    pub(crate) fn len(&self) -> usize {
        self.waiting
    }

    pub(crate) fn add(&mut self, number: u64, shape: &ResourceSet) {
        if !self.shapes.contains_key(shape) {
            self.shapes.insert(shape.clone(), Set::new());
        }
        let Some(jobs) = self.shapes.get_mut(shape) else { return };
        let before = jobs.first().copied();
        if !jobs.insert(number) {
            return;
        }
        self.waiting += 1;
        if before.is_none_or(|oldest| number < oldest) {
            if let Some(before) = before {
                self.oldest.remove(&before);
                self.aside.remove(&before);
            }
            self.oldest.insert(number, shape.clone());
        }
    }

    pub(crate) fn remove(&mut self, number: u64, shape: &ResourceSet) {
        let Some(jobs) = self.shapes.get_mut(shape) else { return };
        if !jobs.remove(&number) {
            return;
        }
        self.waiting -= 1;
        let next = jobs.first().copied();
        if next.is_none() {
            self.shapes.remove(shape);
        }
        for list in [&mut self.oldest, &mut self.aside] {
            if let Some(shape) = list.remove(&number)
                && let Some(next) = next
            {
                list.insert(next, shape);
            }
        }
    }

    /// No node could hold the shape of this job, if it is the oldest of its shape.
    pub(crate) fn set_aside(&mut self, number: u64) {
        self.aside.extend(self.oldest.remove_entry(&number));
    }

    /// A node joins: everything is looked at again.
    pub(crate) fn call_back(&mut self) {
        self.oldest.append(&mut self.aside);
    }

    /// Of the jobs that are the oldest of their shape and do not stand aside, the first with this number or a higher one.
    pub(crate) fn next_shape(&self, from: u64) -> Option<(u64, &ResourceSet)> {
        self.oldest.range(from..).next().map(|(number, shape)| (*number, shape))
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        let expected: Map<u64, ResourceSet> = self
            .shapes
            .iter()
            .filter_map(|(shape, jobs)| jobs.first().map(|oldest| (*oldest, shape.clone())))
            .collect();
        let listed: Map<u64, ResourceSet> = self.oldest.clone().into_iter().chain(self.aside.clone()).collect();
        if expected != listed || listed.len() != self.oldest.len() + self.aside.len() {
            return Err(format!("the oldest of their shapes are {expected:?}, listed are {listed:?}"));
        }
        let waiting: usize = self.shapes.values().map(Set::len).sum();
        if waiting != self.waiting || self.shapes.values().any(Set::is_empty) {
            return Err(format!("{waiting} jobs wait, {} are counted", self.waiting));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use iosdk_types::Amount;

    #[test]
    fn the_oldest_of_each_shape_is_known_whoever_leaves() {
        let shapes = [ResourceSet::new(), ResourceSet::new().with("CPU", Amount::ONE)];
        let mut queue = Queue::default();
        for number in [3, 1, 2, 4, 5, 4] {
            queue.add(number, &shapes[number as usize % 2]);
            queue.check().unwrap();
        }
        let in_order = |queue: &Queue| {
            let mut seen = Vec::new();
            while let Some((number, _)) = queue.next_shape(seen.last().map_or(0, |last| last + 1)) {
                seen.push(number);
            }
            seen
        };
        assert_eq!((in_order(&queue), queue.len()), (vec![1, 2], 5));
        for (leaves, left) in [(1, vec![2, 3]), (5, vec![2, 3]), (2, vec![3, 4]), (3, vec![4]), (4, vec![])] {
            queue.remove(leaves, &shapes[leaves as usize % 2]);
            queue.check().unwrap();
            assert_eq!(in_order(&queue), left);
        }
        assert_eq!(queue, Queue::default());
    }

    #[test]
    fn a_shape_stands_aside_with_all_its_jobs_until_it_is_called_back() {
        let shape = ResourceSet::new().with("GPU", Amount::ONE);
        let mut queue = Queue::default();
        queue.add(1, &ResourceSet::new());
        queue.add(2, &shape);
        queue.add(3, &shape);
        queue.set_aside(2);
        queue.remove(2, &shape);
        queue.add(4, &shape);
        queue.check().unwrap();
        assert_eq!(queue.next_shape(2), None);
        queue.call_back();
        queue.check().unwrap();
        assert_eq!(queue.next_shape(2), Some((3, &shape)));
    }
}
