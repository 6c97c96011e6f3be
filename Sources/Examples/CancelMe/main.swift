// What AsyncUV is for, in one program: a task is cancelled while it sleeps, cleans up, and ends.
import AsyncUV

try EventLoop.run {
    let task = LoopTask(name: "cancel_me") {
        print("cancel_me(): before sleep")
        defer { print("cancel_me(): after sleep") }
        do {
            try await LoopTask.sleep(for: .seconds(3600))
        } catch let error as CancelledError {
            print("cancel_me(): cancel sleep")
            throw error
        }
    }
    try await LoopTask.sleep(for: .seconds(1))
    task.cancel()
    do { try await task.value } catch is CancelledError { print("main(): cancel_me is cancelled now") }
}
