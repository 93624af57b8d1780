"""Runs ASGI applications under uvicorn: sockets, workers, client deadlines, draining."""
