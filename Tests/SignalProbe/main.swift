// A program for the tests of EventLoop.run: what becomes of it when a signal arrives depends on its argument.
import AsyncUV
import Foundation

func say(_ text: String) {
    FileHandle.standardOutput.write(Data((text + "\n").utf8))
}

let mode = CommandLine.arguments.dropFirst().first ?? ""
let interruption: EventLoop.Interruption = mode == "throw" ? .throwError : .raiseSignal
do {
    try EventLoop.run(cancellingOn: [.interrupt, .terminate], interruption: interruption, grace: .milliseconds(200)) {
        if mode == "stalled" {
            say("ready")
            // The loop's thread, for longer than any test waits.
            sleep(60)
        }
        if mode == "leftover" {
            _ = LoopTask(name: "stubborn") {
                while true { _ = try? await LoopTask.sleep(for: .milliseconds(50)) }
            }
            _ = LoopTask(name: "obedient") {
                do { try await LoopTask.sleep(for: .seconds(60)) } catch {
                    say("obedient: cancelled")
                    throw error
                }
            }
        }
        do {
            say("ready")
            try await LoopTask.sleep(for: .seconds(60))
        } catch let error as CancelledError {
            say("main: cancelled by \(error.origin.kind) \(error.message ?? "")")
            if mode == "refuse" { return }
            if mode == "second" { try await LoopTask.sleep(for: .seconds(60)) }
            throw error
        }
    }
    say("run returned")
} catch let error as LoopError {
    say("run threw \(error.code)")
}
