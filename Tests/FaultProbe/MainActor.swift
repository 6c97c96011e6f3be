import AsyncUV
import Foundation

/// State of the main actor, as a program's top-level variables are.
@MainActor private final class Seen {
    static var count = 0
    static func add() { count += 1 }
}

/// Loops on the main thread, whose tasks need the main actor.
@MainActor func awaitTheMainActor() throws {
    // Asked for before the loop is there.
    let before = Task { @MainActor in Seen.add() }
    let answer = try EventLoop.run {
        await before.value
        await MainActor.run { Seen.add() }
        for _ in 0..<100 { await Seen.add() }
        // A LoopTask of the main actor's own: it comes home to sleep, and goes on where it was.
        let own = LoopTask { @MainActor in
            Seen.add()
            try await LoopTask.sleep(for: .milliseconds(1))
            Seen.add()
            return LoopTask.current == nil ? "nobody" : "somebody"
        }
        let name = try await own.value
        // Cancelled there: it is cancelled here.
        let sleeper = LoopTask { @MainActor in try await LoopTask.sleep(for: .seconds(3600)) }
        try await LoopTask.sleep(for: .milliseconds(1))
        sleeper.cancel()
        do { try await sleeper.value } catch is CancelledError { await Seen.add() }
        // The loop goes on while the main actor works, and the other way round.
        DispatchQueue.main.async { Seen.add() }
        try await LoopTask.sleep(for: .milliseconds(20))
        return "\(name) \(await Seen.count)"
    }
    say(answer)
    // And once more: the service of the first run is gone.
    try EventLoop.run { await MainActor.run { Seen.add() } }
    say("\(Seen.count)")
}

/// Closures that are written in the main actor's code, and run on the threads of loops and workers.
@MainActor func closuresOfTheMainActor() throws {
    let started = DispatchSemaphore(value: 0), ended = DispatchSemaphore(value: 0)
    final class Place: @unchecked Sendable {
        // Written before the semaphore is signalled, read after.
        var loop: EventLoop?
    }
    let place = Place()
    Thread {
        do {
            let loop = try EventLoop()
            place.loop = loop
            started.signal()
            try loop.runForever()
            try loop.close()
        } catch {
            say("failed: \(error)")
        }
        ended.signal()
    }.start()
    started.wait()
    guard let other = place.loop else { return }

    try EventLoop.run {
        other.setReportHandler { report in say("report: \(report.message)") }
        let future = try Future<Int>()
        future.addDoneCallback { _ in say("done callback") }
        try future.setResult(1)
        _ = try await future.value
        say("blocking: \(try await LoopTask.runBlocking { 1 + 1 })")
    }
    // Here the closures are the main actor's unless their types say otherwise.
    let posted = DispatchSemaphore(value: 0)
    other.setReportHandler { report in
        say("report: \(report.message)")
        posted.signal()
    }
    try other.callSoonThreadsafe {
        say("post: \(Thread.isMainThread)")
        throw CancellationError()
    }
    posted.wait()
    let plain = startPlain(on: other, posted)
    posted.wait()
    // A loop of the main thread runs the main actor's closures, since they are on its thread.
    let mine = try EventLoop()
    try mine.callSoon { Seen.add() }
    try mine.callLater(.milliseconds(1)) { Seen.add() }
    _ = try mine.runUntilIdle()
    try mine.close()
    say("main: \(Seen.count)")
    // A LoopTask of the main actor on another thread's loop works while somebody serves the main actor.
    let away = try EventLoop.run {
        let task = LoopTask(on: other) { @MainActor in
            Seen.add()
            try await LoopTask.sleep(for: .milliseconds(1))
            Seen.add()
            return Seen.count
        }
        try await plain.value
        return try await task.value
    }
    say("away: \(away)")
    other.stop()
    ended.wait()
}

/// Outside of the main actor: a LoopTask is its creator's.
private func startPlain(on loop: EventLoop, _ done: DispatchSemaphore) -> LoopTask<Void> {
    LoopTask(on: loop) {
        say("task: \(Thread.isMainThread)")
        try await LoopTask.sleep(for: .milliseconds(1))
        done.signal()
    }
}
