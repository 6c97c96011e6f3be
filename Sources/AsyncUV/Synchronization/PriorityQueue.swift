/// A ``Queue`` that gives the lowest item out first. Of equal ones any may be the first.
///
/// For items that are not ordered themselves, put a struct with a priority and the item, whose `<` compares the priorities.
public final class PriorityQueue<Element: Sendable & Comparable>: QueueOf<LowestFirst<Element>>, @unchecked Sendable {}
