import AsyncUV

/// What the statements `raise` and `future_fail` throw.
struct NamedError: Error {
    let name: String
}

/// An error as traces write it.
func describe(_ error: any Error) -> String {
    switch error {
    case is CancelledError: return "cancelled"
    case is TimeoutError: return "timeout"
    case let group as TaskGroupError: return "group(" + sortedAsBytes(group.errors.map(describe)).joined(separator: ",") + ")"
    case let named as NamedError: return "error:" + named.name
    case let error as LoopError:
        switch error.code {
        case .misuse: return "misuse"
        case .invalidState: return "invalid-state"
        case .queueFull: return "queue-full"
        case .queueEmpty: return "queue-empty"
        case .queueShutDown: return "queue-shutdown"
        case .brokenBarrier: return "broken-barrier"
        default: return "other:\(error)"
        }
    default: return "other:\(error)"
    }
}

/// A description up to `:` or `(`: what a `try` catches by.
func kind(_ description: String) -> String {
    String(Substring(description.utf8.prefix { $0 != UInt8(ascii: ":") && $0 != UInt8(ascii: "(") }))
}

/// Swift orders strings by their characters; traces order them by their bytes.
func sortedAsBytes(_ texts: [String]) -> [String] {
    texts.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
}
