// What the compiler must refuse: the main actor's state in closures that run on other threads. Not part of any target; `scripts/check` compares the errors with
// the lines that say "refused".
import AsyncUV

@MainActor private var count = 0

@MainActor private func hand(to loop: EventLoop) async throws {
    try loop.callSoonThreadsafe { count += 1 }  // refused
    _ = try await LoopTask.runBlocking { count += 1 }  // refused
    loop.setReportHandler { _ in count += 1 }  // refused
    try Future<Int>(on: loop).addDoneCallback { _ in count += 1 }  // refused
    // A LoopTask is its creator's, wherever its loop runs.
    _ = LoopTask(on: loop) { count += 1 }
}

private func run() throws {
    try EventLoop.run { count += 1 }  // refused
    try EventLoop.run { await MainActor.run { count += 1 } }
}
