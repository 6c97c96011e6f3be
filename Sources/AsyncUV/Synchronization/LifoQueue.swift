/// A ``Queue`` that gives the latest item out first.
public final class LifoQueue<Element: Sendable>: QueueOf<LastInFirstOut<Element>>, @unchecked Sendable {}
