"""Run ASGI applications under uvicorn: sockets, workers, client deadlines and draining."""
