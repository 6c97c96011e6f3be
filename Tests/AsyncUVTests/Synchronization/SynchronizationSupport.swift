import Testing
import AsyncUV

/// Lets every task that is ready, and those that they wake, get `count` turns.
func turns(_ count: Int = 1) async throws {
    for _ in 0..<count { try await LoopTask.yield() }
}

/// A variable that the tasks of one loop share.
final class Shared<Value>: @unchecked Sendable {
    // Sendable: tests touch it on one loop's thread only.
    var value: Value

    init(_ value: Value) { self.value = value }
}

/// A small generator with a seed, the same on every machine (SplitMix64).
struct Seeded: RandomNumberGenerator {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}

/// Runs `body` and expects a `LoopError` with this code.
func expectError<Value>(
    _ code: LoopError.Code, sourceLocation: SourceLocation = #_sourceLocation, _ body: () async throws -> Value
) async {
    do {
        _ = try await body()
        Issue.record("nothing was thrown, expected \(code)", sourceLocation: sourceLocation)
    } catch {
        #expect((error as? LoopError)?.code == code, "\(error)", sourceLocation: sourceLocation)
    }
}
